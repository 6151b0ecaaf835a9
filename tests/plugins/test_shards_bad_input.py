"""Bad shards, samples and paths give one line that names them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from shard_files import png, samples, value_of, write_shard

import sslcore.cli
from sslcore.errors import DataError, SourceError
from sslcore_webdataset.shards import shards


def opened(path: Path | str, **settings):
    return shards(path=str(path), **settings)


def values(data) -> list[int]:
    splits = [split for split in (data.train, data.test) if split is not None]
    return sorted(value_of(each.images.fetch(row)) for each in splits for row in range(len(each)))


def error_of(path: Path | str, **settings) -> str:
    with pytest.raises(DataError) as caught:
        opened(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("cut", ["in a header", "in an image", "in a label", "before the end"])
def test_a_shard_that_is_cut_off_gives_its_whole_samples_and_a_note(tmp_path, cut):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    whole = path.read_bytes()
    image, label = whole.index(b"0006.png"), whole.index(b"0006.cls")
    length = {
        "in a header": image + 100,
        "in an image": image + 512 + 10,
        "in a label": label + 512,
        "before the end": image,
    }[cut]
    path.write_bytes(whole[:length])
    data = opened(path)
    assert values(data) == [*range(6)]
    what = "ends" if cut == "before the end" else "is cut off"
    assert data.notes[0].startswith(f"x.tar is damaged (it {what} after {length} bytes")
    assert data.notes[0].endswith(
        "the 6 samples that are whole are used; copy it again to have all"
    )


def test_several_shards_that_are_cut_off_are_counted(tmp_path):
    for number in range(3):
        path = write_shard(tmp_path / f"{number}.tar", samples(range(6 * number, 6 * number + 6)))
        if number:
            path.write_bytes(path.read_bytes()[:-10240])
    note = opened(tmp_path).notes[0]
    assert note.startswith("1.tar is damaged")
    assert ", and so are 1 others: the" in note


@pytest.mark.parametrize("last", ["0003.png", "0006.png"])
def test_a_shard_with_zeros_over_a_part_of_it_is_refused(tmp_path, last):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    raw = bytearray(path.read_bytes())
    begin, end = raw.index(b"0003.png"), raw.index(last.encode()) + 512
    raw[begin:end] = bytes(end - begin)
    path.write_bytes(raw)
    assert error_of(path) == (
        f"{path} can't be read as a tar archive (zeros are written over a part of it before byte "
        f"{end}); copy it again, or write it anew"
    )


def test_a_shard_of_zeros_is_refused_and_an_empty_one_is_not(tmp_path):
    write_shard(tmp_path / "a.tar", samples(range(10)))
    path = tmp_path / "b.tar"
    path.write_bytes(bytes(10240))
    assert opened(tmp_path).notes == ("1 of 2 shards hold no images; the first is b.tar",)
    path.write_bytes(bytes(20480))
    assert "(it is 20480 bytes of zeros)" in error_of(tmp_path)


def test_a_shard_that_is_damaged_in_its_middle_is_refused(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    raw = bytearray(path.read_bytes())
    place = raw.index(b"0006.png")
    raw[place : place + 512] = os.urandom(512)
    path.write_bytes(raw)
    assert error_of(path) == (
        f"{path} can't be read as a tar archive (there is no header at byte {place}); copy it "
        "again, or write it anew"
    )


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(b"<html>" + bytes(2000))
    assert "(it is no tar archive)" in error_of(path)


def test_empty_shards_are_refused_and_one_beside_others_is_named(tmp_path):
    write_shard(tmp_path / "0.tar", [])
    assert error_of(tmp_path / "0.tar") == (
        f"{tmp_path / '0.tar'} has no sample with an image; at least 2 are needed"
    )
    (tmp_path / "1.tar").write_bytes(b"")
    assert "the 2 shards of" in error_of(tmp_path)
    write_shard(tmp_path / "2.tar", samples(range(4)))
    notes = opened(tmp_path).notes
    assert notes[0].startswith("1.tar is damaged (it ends after 0 bytes without")
    assert notes[1] == "2 of 3 shards hold no images; the first is 0.tar"


def test_a_compressed_shard_is_refused_by_its_name_and_by_its_content(tmp_path):
    content = gzip.compress(write_shard(tmp_path / "x.tar", samples(range(4))).read_bytes())
    for name in ("x.tar.gz", "y.tar", "z.tgz"):
        (tmp_path / name).write_bytes(content)
        message = error_of(tmp_path / name)
        assert message.startswith(f"{tmp_path / name} is compressed, so single images can't be")
        assert "gzip -d" in message
    for name in ("x.tar", "y.tar"):
        (tmp_path / name).unlink()
    assert "x.tar.gz is compressed" in error_of(tmp_path)


def test_a_sample_with_two_images_is_named_with_both(tmp_path):
    files = [*samples(range(4)), ("0002.seg.png", png(9))]
    path = write_shard(tmp_path / "x.tar", files)
    assert error_of(path) == (
        f"{path}: the sample 0002 has two images, .png and .seg.png; --set data.image=png takes "
        "one of them in each sample"
    )


@pytest.mark.parametrize("ending", ["png", "cls"])
def test_a_sample_that_is_twice_in_a_shard_is_named(tmp_path, ending):
    again = [file for file in samples([2]) if file[0].endswith(ending)]
    path = write_shard(tmp_path / "x.tar", [*samples(range(4)), *again])
    assert error_of(path).startswith(f"{path}: the sample 0002 ")
    assert f"two .{ending}" in error_of(path)


def test_an_image_that_is_in_two_shards_is_named(tmp_path):
    write_shard(tmp_path / "0.tar", samples(range(4)))
    write_shard(tmp_path / "1.tar", samples(range(3, 6)))
    assert error_of(tmp_path) == (
        "0.tar/0003.png and 1.tar/0003.png are the same image, and 1 names are in two shards; "
        "remove one of the shards"
    )


def test_shards_that_number_their_samples_from_0_are_used_with_a_note(tmp_path):
    for number in range(2):
        files = [(f"{row}.png", png(10 * number + row)) for row in range(4)]
        write_shard(tmp_path / f"{number}.tar", files)
    data = opened(tmp_path)
    assert values(data) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert data.notes[0] == (
        "4 samples have the name of one in another shard, such as 0.tar/0.png; they are different "
        "images, and all are used"
    )


def test_samples_without_an_image_are_left_out_and_counted(tmp_path):
    files = [*samples(range(4)), ("0007.cls", b"a"), ("0008.txt", b"a caption")]
    data = opened(write_shard(tmp_path / "x.tar", files))
    assert values(data) == [0, 1, 2, 3]
    assert data.notes == ("2 samples without an image are left out; the first is x.tar/0007",)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.GNUTYPE_SPARSE])
def test_links_and_sparse_files_are_left_out_and_named(tmp_path, kind):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as shard:
        for name, content in samples(range(4)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
        for name in ("0004.png", "readme.md"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "0001.png"
            shard.addfile(link)
    data = opened(path)
    assert values(data) == [0, 1, 2, 3]
    assert data.notes[0].startswith(
        "1 links and sparse files are left out; the first is x.tar/0004.png (tar --dereference"
    )


def test_a_label_that_can_not_be_read_is_named(tmp_path):
    broken = {"cls": b"\xff\xfe", "json": b"{"}
    for ending, content in broken.items():
        files = [*samples(range(4), labels=None), (f"0001.{ending}", content)]
        path = write_shard(tmp_path / f"{ending}.tar", files)
        label = None if ending == "cls" else "class"
        assert error_of(path, label=label) == (
            f"{path}: the sample 0001 has a .{ending} that can't be read"
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"class": [1, 2]}', "has [1, 2] as class in its .json; expected a text or a whole"),
        (b'{"class": 0.5}', "has 0.5 as class in its .json"),
        (b"[]", "has a .json that is no object"),
    ],
)
def test_a_json_without_a_usable_label_is_named(tmp_path, content, said):
    files = [*samples(range(4), labels=None), ("0001.json", content)]
    path = write_shard(tmp_path / "x.tar", files)
    assert said in error_of(path, label="class")


def test_a_key_that_no_json_has_is_named_with_the_keys(tmp_path):
    files = [*samples(range(4)), *((f"{row:04}.json", b'{"class": "a"}') for row in range(4))]
    path = write_shard(tmp_path / "x.tar", files)
    assert error_of(path, label="clas") == (
        "data.label: no sample has the key 'clas' in a .json; nearest: class; the keys are class"
    )
    path = write_shard(tmp_path / "y.tar", samples(range(4)))
    assert error_of(path, label="class").endswith("there are no .json files")


@pytest.mark.parametrize(
    ("labels", "said"),
    [("a", "all labels are 'a'"), ("abcdef", "no two samples have the same label")],
)
def test_labels_that_tell_nothing_are_left_out_with_a_note(tmp_path, labels, said):
    data = opened(write_shard(tmp_path / "x.tar", samples(range(6), labels)))
    assert data.train.labels is None
    assert data.notes[0] == f"{said}, so the images are used without labels"


def test_a_class_that_only_the_test_shards_have_is_an_error(tmp_path):
    write_shard(tmp_path / "train.tar", samples(range(4), "ab"))
    write_shard(tmp_path / "test.tar", samples(range(4, 8), "ac"))
    assert "the test shards of" in error_of(tmp_path)
    assert "have the class 'c', which no train shard has" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none-{0..3}.tar", "matches no file: none of its 4 shards exists, such as"),
        ("none-*.tar", "matches no file; expected .tar files"),
        ("none.tar", "does not exist; expected a .tar file"),
        ("x-{0..3}.tar", "2 of the 4 shards of"),
        ("x-{0,0}.tar", "names"),
        ("", "holds no .tar files"),
    ],
)
def test_paths_that_name_no_shards_are_errors(tmp_path, path, said):
    place = tmp_path / "shards"
    place.mkdir()
    if path:
        write_shard(place / "x-0.tar", samples(range(4)))
        write_shard(place / "x-2.tar", samples(range(4, 8)))
    message = error_of(place / path)
    assert said in message
    assert "shards" in message


def test_an_empty_path_is_an_error():
    assert error_of(" ") == "data.path is empty; name .tar files or their folder"


def test_a_folder_of_both_shards_and_images_is_refused_with_the_choices(tmp_path):
    write_shard(tmp_path / "x.tar", samples(range(4)))
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(png(1))
    message = error_of(tmp_path)
    assert "also images, such as cat/1.png" in message
    assert f"--set data.path={tmp_path}" in message
    assert len(opened(tmp_path / "*.tar").train) == 2


def test_a_shard_that_shrinks_during_training_is_named(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    split = opened(path).train
    split.images.fetch(0)
    with path.open("r+b") as file:
        file.truncate(600)
    with pytest.raises(SourceError, match=f"{path} ends before byte"):
        split.images.fetch(5)


@pytest.mark.parametrize("change", ["gone", "shorter", "newer"])
def test_a_shard_that_changed_before_it_is_read_is_named(tmp_path, change):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    split = opened(path).train
    if change == "gone":
        path.unlink()
    elif change == "shorter":
        path.write_bytes(path.read_bytes()[:600])
    else:
        os.utime(path, ns=(0, 0))
    with pytest.raises(OSError, match=f"{path} (can't be read|was changed after)"):
        split.images.fetch(0)


@pytest.mark.parametrize("data", ["none-{0..3}.tar", "x.tar.gz", "damaged.tar"])
def test_the_command_line_reports_one_line_and_writes_nothing(tmp_path, capsys, data):
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"x"))
    (tmp_path / "damaged.tar").write_bytes(b"x" * 2000)
    output = tmp_path / "run"
    arguments = ["train", "--method", "simclr", "--data", str(tmp_path / data)]
    with pytest.raises(SystemExit) as end:
        sslcore.cli.main([*arguments, "--output", str(output)])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert len(said.splitlines()) == 1
    assert data.partition("{")[0] in said
    assert not output.exists()
