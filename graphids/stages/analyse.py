"""Analyses: looks at detectors that the rows of a grid have trained, light enough for every run.

They hand on tensors and facts for figures, and no metrics: a table never has a row of them.
"""

from graphids.stages.analyse_attention import ATTENTION_FILE, Attention
from graphids.stages.analyse_embeddings import EMBEDDINGS_FILE, Embeddings
from graphids.stages.analyse_landscape import LANDSCAPE_FILE, Landscape
from graphids.stages.analyse_similarity import SIMILARITY_FILE, Similarity

__all__ = [
    "ATTENTION_FILE",
    "EMBEDDINGS_FILE",
    "LANDSCAPE_FILE",
    "SIMILARITY_FILE",
    "Attention",
    "Embeddings",
    "Landscape",
    "Similarity",
]
