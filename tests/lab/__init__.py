"""Tests of the lab: its decisions here, its clusters in test_lifecycle.py."""
