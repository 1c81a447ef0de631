"""Delivering an export to an HTTP ingestion API: every record once, however often it breaks off."""
