"""Scores of sets of pictures on the features of a network that is an argument.

Scores from different extractors, taps, resize modes or numbers of pictures cannot be compared with each other, nor any
with a published figure, unless the extractor is the published one: every result says what it was measured with.
"""
