"""The studies that ship with graphids, one a file."""

NAMES = ("smoke", "first")
"""Every shipped grid."""
