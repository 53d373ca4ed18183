"""Statistics as pure functions of numbers, in float64: intervals, tests, association, sample size.

No images, no files, no torch. Input that has no answer raises ``EvidenceError``; nothing here returns NaN.
"""
