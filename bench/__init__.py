"""Benchmarks: `make bench`. Numbers for people; nothing here is a test."""
