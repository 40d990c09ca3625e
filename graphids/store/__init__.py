"""The content-addressed store on disk, which is the truth. Imports neither torch nor Ray."""
