"""Scores, statistics, tables and a report of finished results."""
