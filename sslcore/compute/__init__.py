"""Devices, random states and processes: where torch computes, and with whom."""
