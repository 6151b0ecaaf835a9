"""Devices, random generators and processes of torch."""
