"""What a tokenizer's codes mean: a microscope for code books.

Codes that are counted, compared with known stretches, shaken, drawn, and asked
which of them mark a class of windows, and where.
"""

from neuro.evaluate.codebook.agreement import Agreement, agreement
from neuro.evaluate.codebook.evidence import Evidence, ngram_evidence
from neuro.evaluate.codebook.inspecting import CodebookReport, inspect_codebook
from neuro.evaluate.codebook.ngrams import NgramBayes, ngram_counts
from neuro.evaluate.codebook.page import codebook_page
from neuro.evaluate.codebook.prototypes import BandError, Prototypes
from neuro.evaluate.codebook.reading import TokenGrid, read_tokens
from neuro.evaluate.codebook.stretches import Stretches

__all__ = [
    "Agreement",
    "BandError",
    "CodebookReport",
    "Evidence",
    "NgramBayes",
    "Prototypes",
    "Stretches",
    "TokenGrid",
    "agreement",
    "codebook_page",
    "inspect_codebook",
    "ngram_counts",
    "ngram_evidence",
    "read_tokens",
]
