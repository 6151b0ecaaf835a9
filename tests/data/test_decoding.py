from __future__ import annotations

import io
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from image_files import exif, npy, pgm, photo, pillow, png, tiff
from PIL import Image, ImageOps

from sslcore.data.decoding import DecodingError, Header, decoded, header_of
from sslcore.errors import DataError, UsageError

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 18, 26


def noise(*shape: int, dtype: type = np.uint8, below: int | None = None) -> np.ndarray:
    """Return random values of a whole type, of all that it has."""
    info = np.iinfo(dtype)
    return RNG.integers(info.min, below or int(info.max) + 1, shape, dtype=dtype)


def smooth(height: int, width: int) -> np.ndarray:
    """Return a picture that JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1
    ).astype(np.uint8)


def values_of(data: bytes, **options: object) -> np.ndarray:
    """Return what is decoded, (H, W, C), after a check against the header."""
    image = decoded(data, **options)
    header = header_of(data)
    if not options:
        assert header[:4] == (*image.shape[1:], len(image), str(image.dtype).removeprefix("torch."))
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_eight_bits_in_colour_come_as_they_were_written(kind: str) -> None:
    written = noise(HEIGHT, WIDTH, 3)

    assert np.array_equal(values_of(pillow(written, kind)), written)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_eight_bits_of_grey_come_as_one_channel(kind: str) -> None:
    written = noise(HEIGHT, WIDTH)

    assert np.array_equal(values_of(pillow(written, kind))[..., 0], written)


def test_lossless_webp_comes_as_it_was_written() -> None:
    written = noise(HEIGHT, WIDTH, 3)

    assert np.array_equal(values_of(pillow(written, "WEBP", lossless=True)), written)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_sixteen_bits_keeps_all_of_them(channels: int) -> None:
    written = noise(HEIGHT, WIDTH, channels, dtype=np.uint16)

    assert np.array_equal(values_of(png(written)), written)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_of_sixteen_bits_is_put_on_the_background(channels: int) -> None:
    written = noise(HEIGHT, WIDTH, channels, dtype=np.uint16)
    written[0, 0, -1], written[0, 1, -1] = 0, 65535

    made = values_of(png(written), background="black")

    shown, opacity = written[..., :-1].astype(float), written[..., -1:] / 65535
    assert header_of(png(written)).alpha
    assert np.array_equal(made, np.rint(shown * opacity).astype(np.uint16))
    assert np.array_equal(made[0, 1], written[0, 1, :-1])
    assert (values_of(png(written), background="white")[0, 0] == 65535).all()
    if channels == 4:
        assert values_of(png(written), background="#ff8000")[0, 0].tolist() == [65535, 32896, 0]


def test_the_transparent_colour_of_a_png_of_sixteen_bits_is_put_on_the_background() -> None:
    written = noise(HEIGHT, WIDTH, 3, dtype=np.uint16, below=60000)
    key = (b"tRNS", written[2, 3].astype(">u2").tobytes())

    made = values_of(png(written, key))

    assert (made[2, 3] == 65535).all()
    assert np.array_equal(made[3], written[3])


def test_transparency_of_eight_bits_is_put_on_the_background() -> None:
    written = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    written[:, :10] = (10, 20, 30, 255)

    made = values_of(pillow(written, "PNG"), background="#010203")

    assert (made[:, :10] == (10, 20, 30)).all()
    assert (made[:, 10:] == (1, 2, 3)).all()


def test_a_palette_comes_as_its_colours() -> None:
    written = noise(HEIGHT, WIDTH, 3) // 128 * 255
    file = io.BytesIO()
    Image.fromarray(written).quantize(8).save(file, "PNG")

    assert np.array_equal(values_of(file.getvalue()), written)


def test_an_unknown_background_is_an_error_of_the_setting() -> None:
    with pytest.raises(UsageError, match=r"data\.background: expected a colour .* 'wite'"):
        decoded(pillow(noise(4, 4), "PNG"), background="wite")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
@pytest.mark.parametrize("mode", [None, "L", "CMYK"])
def test_a_photo_has_the_pixels_that_pillow_has(mode: str | None, options: dict) -> None:
    data = photo(smooth(37, 53), mode, **options)
    expected = Image.open(io.BytesIO(data)).convert("L" if mode == "L" else "RGB")

    assert np.array_equal(values_of(data).squeeze(), np.asarray(expected))


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_the_decoder_makes_a_photo_smaller_by_rounding_up(reduce: int) -> None:
    data = photo(smooth(61, 83), quality=95)
    image = Image.open(io.BytesIO(data))
    image.draft(None, (83 // reduce, 61 // reduce))

    made = decoded(data, reduce=reduce)

    assert tuple(made.shape) == (3, -(-61 // reduce), -(-83 // reduce))
    difference = made.permute(1, 2, 0).numpy().astype(int) - np.asarray(image)
    assert np.abs(difference).max() <= 1


def test_formats_without_a_smaller_version_come_in_their_size() -> None:
    assert decoded(pillow(noise(16, 24), "PNG"), reduce=4).shape == (1, 16, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG of 16 bits", "TIFF", "TIFF of 16 bits"])
def test_a_photo_is_turned_upright(kind: str, orientation: int) -> None:
    written = smooth(HEIGHT, WIDTH)
    if kind == "PNG of 16 bits":
        data = png(written.astype(np.uint16) * 257, (b"eXIf", exif(orientation)))
    elif kind == "TIFF of 16 bits":
        tag = (274, "H", 1, orientation, True)
        data = tiff(written.astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
    else:
        tags = {"tiffinfo": {274: orientation}}
        options = tags if kind == "TIFF" else {"exif": b"Exif\0\0" + exif(orientation)}
        data = pillow(written, kind, **options)
    stored = Image.open(io.BytesIO(photo(written))) if kind == "JPEG" else written
    plain = Image.fromarray(np.asarray(stored))
    plain.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(plain))

    made = values_of(data)

    scale = 257 if "16" in kind else 1
    assert made.dtype == (np.uint16 if scale > 1 else np.uint8)
    assert np.array_equal(made, expected.astype(made.dtype) * made.dtype.type(scale))


def test_damaged_orientations_leave_the_photo_as_it_is() -> None:
    written = smooth(HEIGHT, WIDTH)

    for content in (b"II*\0\xff\xff\xff\xff", b"nothing", b"II", exif(1)[:-9]):
        data = png(written.astype(np.uint16), (b"eXIf", content))
        assert np.array_equal(values_of(data), written)


def test_colour_and_grey_are_turned_into_each_other_on_demand() -> None:
    color, grey = noise(HEIGHT, WIDTH, 3), noise(HEIGHT, WIDTH)
    expected = np.asarray(Image.fromarray(color).convert("L"))
    wide = noise(HEIGHT, WIDTH, 3, dtype=np.uint16)
    level = np.rint(wide @ np.array([0.299, 0.587, 0.114])).astype(int)

    assert np.array_equal(values_of(pillow(color, "PNG"), channels=1)[..., 0], expected)
    assert np.array_equal(values_of(pillow(grey, "PNG"), channels=3), np.stack([grey] * 3, -1))
    assert np.abs(values_of(png(wide), channels=1)[..., 0].astype(int) - level).max() <= 1


TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8"]
GIVEN = {"i1": "i2", "u4": "i8", "f2": "f4"}


def of_type(kind: str, *shape: int) -> np.ndarray:
    """Return values of a type, with its extremes."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    return noise(*shape, dtype=dtype.type)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("write", [tiff, npy])
def test_each_type_of_value_keeps_all_of_its_bits(write: object, kind: str) -> None:
    assert callable(write)
    written = of_type(kind, 5, HEIGHT, WIDTH)

    made = values_of(write(written))

    assert made.dtype == np.dtype(GIVEN.get(kind, kind))
    assert np.array_equal(made, written.transpose(1, 2, 0))


def test_booleans_become_black_and_white() -> None:
    written = noise(HEIGHT, WIDTH) > 127

    assert np.array_equal(values_of(npy(written))[..., 0], written * np.uint8(255))
    assert np.array_equal(values_of(tiff(written))[..., 0], written * np.uint8(255))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_both_byte_orders_and_big_tiff_are_read(byteorder: str, bigtiff: bool) -> None:
    written = noise(13, HEIGHT, WIDTH, dtype=np.uint16)

    made = values_of(tiff(written, byteorder=byteorder, bigtiff=bigtiff))

    assert np.array_equal(made, written.transpose(1, 2, 0))


@pytest.mark.parametrize("layout", ["pages", "pages without metadata", "planar", "interleaved"])
def test_thirteen_channels_of_a_tiff_are_read_from_any_layout(layout: str) -> None:
    written = noise(13, HEIGHT, WIDTH, dtype=np.uint16, below=4096)
    last = np.ascontiguousarray(written.transpose(1, 2, 0))
    data = {
        "pages": lambda: tiff(written),
        "pages without metadata": lambda: tiff(written, metadata=None),
        "planar": lambda: tiff(written, planarconfig="separate"),
        "interleaved": lambda: tiff(last, planarconfig="contig"),
    }[layout]()

    assert np.array_equal(values_of(data), last)


def test_an_array_that_was_written_as_pages_by_mistake_has_its_smaller_axis_as_channels() -> None:
    written = noise(HEIGHT, WIDTH, 13, dtype=np.uint16)

    assert np.array_equal(values_of(tiff(written)), written)


def test_channels_of_microscopes_are_read_and_stacks_are_refused() -> None:
    written = noise(5, HEIGHT, WIDTH, dtype=np.uint16)
    channels = {"axes": "CYX"}

    for options in ({"imagej": True}, {"ome": True}):
        made = values_of(tiff(written, metadata=channels, **options))
        assert np.array_equal(made, written.transpose(1, 2, 0))
        data = tiff(written, metadata={"axes": "ZYX"}, **options)
        for read in (decoded, header_of):
            with pytest.raises(DecodingError, match=r"stack of 5 slices \(axes ZYX\); save each"):
                read(data)
    with pytest.raises(DecodingError, match=r"stack of 5 times \(axes TYX\)"):
        decoded(tiff(written, imagej=True, metadata={"axes": "TYX"}))


def test_pages_of_colours_are_refused() -> None:
    data = tiff(noise(4, HEIGHT, WIDTH, 3), photometric="rgb")

    with pytest.raises(DecodingError, match=r"stack of 4 pages \(axes QYXS\)"):
        decoded(data)


def test_a_preview_on_a_second_page_is_passed_over() -> None:
    written = noise(HEIGHT, WIDTH, dtype=np.uint16)
    file = io.BytesIO(tiff(written, metadata=None))
    with tifffile.TiffWriter(file, append=True) as writer:
        writer.write(written[::4, ::4], metadata=None, subfiletype=1, photometric="minisblack")

    assert np.array_equal(values_of(file.getvalue())[..., 0], written)


def test_a_fourth_channel_is_transparency_only_where_the_tiff_says_so() -> None:
    written = noise(HEIGHT, WIDTH, 4, dtype=np.uint16)
    infrared = tiff(written, photometric="rgb", extrasamples=["unspecified"])
    alpha = tiff(written, photometric="rgb", extrasamples=["unassalpha"])
    narrow = tiff(noise(HEIGHT, WIDTH, 4), photometric="rgb", extrasamples=["unspecified"])

    assert np.array_equal(values_of(infrared), written)
    assert values_of(narrow).shape[-1] == 4
    assert values_of(alpha).shape[-1] == 3
    assert header_of(alpha).alpha
    assert not header_of(infrared).alpha


def test_premultiplied_transparency_is_not_multiplied_again() -> None:
    written = np.full((HEIGHT, WIDTH, 4), (100, 200, 300, 32768), np.uint16)
    data = tiff(written, photometric="rgb", extrasamples=["assocalpha"])

    assert values_of(data, background="black")[0, 0].tolist() == [100, 200, 300]


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_grey_in_which_zero_is_white_is_inverted(kind: str) -> None:
    written = of_type(kind, HEIGHT, WIDTH)

    made = values_of(tiff(written, photometric="miniswhite"))

    assert np.array_equal(made[..., 0], np.iinfo(kind).max - written)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("channels", [1, 5])
def test_compressed_tiffs_are_read(compression: str, channels: int) -> None:
    written = noise(channels, HEIGHT, WIDTH, dtype=np.uint16)
    predictor = compression in ("zlib", "lzw")

    made = values_of(tiff(written, compression=compression, predictor=predictor))

    assert np.array_equal(made, written.transpose(1, 2, 0))


def test_without_codecs_a_compressed_tiff_says_what_to_install() -> None:
    grey, many = noise(HEIGHT, WIDTH), noise(5, HEIGHT, WIDTH, dtype=np.uint16)
    files = {
        "grey": (tiff(grey, compression="lzw"), grey[None]),
        "wide": (tiff(many[0], compression="lzw", predictor=True), many[:1]),
        "deflated": (tiff(many, compression="zlib", predictor=True), many),
        "refused": (tiff(many, compression="lzw"), None),
    }
    script = """
        import pickle, sys
        sys.modules["imagecodecs"] = None
        import numpy as np
        from sslcore.data.decoding import DecodingError, decoded, header_of
        files = pickle.load(sys.stdin.buffer)
        for data, expected in files.values():
            try:
                made = decoded(data).numpy()
                same = np.array_equal(made, expected)
                print(same, header_of(data)[:3] == (*made.shape[1:], len(made)))
            except DecodingError as error:
                print(error)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        input=pickle.dumps(files),
        capture_output=True,
        check=True,
    )

    *read, refused = done.stdout.decode().splitlines()
    assert read == ["True True"] * 3
    assert refused == (
        "can't be read as an image: it is a TIFF file compressed by LZW; install imagecodecs: "
        "pip install 'sslcore[tiff]'"
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_has_its_channels_on_the_smaller_axis(order: str) -> None:
    written = noise(13, HEIGHT, WIDTH, dtype=np.uint16)
    arranged = {"C": np.ascontiguousarray, "F": np.asfortranarray}[order]

    first = values_of(npy(arranged(written)))
    last = values_of(npy(arranged(written.transpose(1, 2, 0))))
    grey = values_of(npy(arranged(written[0])))

    assert np.array_equal(first, written.transpose(1, 2, 0))
    assert np.array_equal(last, first)
    assert np.array_equal(grey[..., 0], written[0])


def test_an_array_of_equal_axes_has_its_channels_first() -> None:
    written = noise(4, 4, 4)

    assert np.array_equal(decoded(npy(written)).numpy(), written)


def test_arrays_that_are_no_image_are_refused() -> None:
    refused = {
        r"shape \(2, 3, 4, 5\)": npy(noise(2, 3, 4, 5)),
        r"shape \(5,\)": npy(noise(5)),
        r"shape \(0, 3\)": npy(np.empty((0, 3))),
        "its values are complex128": npy(np.zeros((3, 3), complex)),
        "its values are object": npy(np.array([[{}, {}]], object), pickle=True),
        r"integers above 2\^63": npy(np.full((3, 3), 2**64 - 1, np.uint64)),
    }

    for message, data in refused.items():
        with pytest.raises(DecodingError, match=message):
            decoded(data)


@pytest.mark.parametrize("largest", [1023, 65535])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_pgm_of_sixteen_bits_is_not_scaled(largest: int, channels: tuple[int, ...]) -> None:
    written = noise(HEIGHT, WIDTH, *channels, dtype=np.uint16, below=largest + 1)

    made = values_of(pgm(written, largest))

    assert np.array_equal(made.reshape(written.shape), written)


def test_a_plain_pgm_of_sixteen_bits_is_read() -> None:
    data = b"P2 3 2 # sides\n4095\n0 1 2\n# more\n3 4 4095\n"

    assert values_of(data)[..., 0].tolist() == [[0, 1, 2], [3, 4, 4095]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_a_moving_picture_comes_as_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)

    assert (values_of(file.getvalue()) == (255, 0, 0)).all()


def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [
        photo(smooth(64, 64)),
        pillow(noise(64, 64), "PNG"),
        png(noise(64, 64, 3, dtype=np.uint16)),
        pillow(noise(64, 64), "BMP"),
        tiff(noise(64, 64)),
        tiff(noise(16, 32, 32, dtype=np.uint16)),
        npy(noise(64, 64)),
        pgm(noise(64, 64, dtype=np.uint16), 65535),
    ]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)

    for data in files:
        for read in (header_of, decoded):
            with pytest.raises(DecodingError, match="pixels"):
                read(data)


def test_what_is_no_image_is_an_error_in_one_line() -> None:
    for data in (b"", b"\0", b"GIF", b"<html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0"):
        for read in (header_of, decoded):
            with pytest.raises(DecodingError) as caught:
                read(data)
            assert isinstance(caught.value, DataError)
            assert str(caught.value).startswith("can't be read as an image: ")
            assert len(str(caught.value).splitlines()) == 1


def test_threads_decode_at_once() -> None:
    arrays = [noise(3, 40, 50, dtype=np.uint16) for _ in range(8)]
    files = [tiff(array, compression="zlib") for array in arrays]
    files += [png(array.transpose(1, 2, 0)) for array in arrays]
    expected = arrays * 2

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(decoded, files * 8))

    for image, array in zip(made, expected * 8, strict=True):
        assert np.array_equal(image.numpy(), array)


def test_images_are_channels_last_where_the_file_is_and_writable() -> None:
    last = [
        photo(smooth(16, 16)),
        pillow(noise(9, 9, 3), "PNG"),
        png(noise(9, 9, 3, dtype=np.uint16)),
    ]
    last.append(photo(smooth(16, 18), exif=b"Exif\0\0" + exif(6)))
    for data in (*last, tiff(noise(5, 9, 9)), npy(noise(5, 9, 9))):
        image = decoded(data)
        assert (image.stride()[0] == 1) == (data in last)
        assert image.numpy().flags.writeable


def test_a_header_is_what_it_says() -> None:
    assert header_of(tiff(noise(13, 16, 24, dtype=np.uint16))) == Header(16, 24, 13, "uint16")
