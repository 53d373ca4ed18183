"""One image at a time: bytes to pixels, pixels to hashes, and phantoms that look like chests.

Knows no label and reads no source; the phantoms alone know how the four sources lay out their files.
"""
