"""Text as LaTeX: citations, formulas, characters that pdflatex does not know."""

import pytest

from mlproject.report.paper.latex import prose, tex


def test_brackets_that_cite_become_citations_and_others_stay():
    text = "Laws (Hestness et al. 2017; Rosenfeld et al. 2020) fall (by half) (Rubin 1981)."
    assert prose(text) == r"Laws~\citep{hestness2017,rosenfeld2020} fall (by half)~\citep{rubin1981}."


def test_formulas_in_sentences_are_mathematics():
    assert prose("with L = E + k x^-α, or k D^-α") == r"with $L = E + k x^{-\alpha}$, or $k D^{-\alpha}$"
    assert prose("falls as D^-α, α = 0.2") == r"falls as $D^{-\alpha}$, $\alpha$ = 0.2"


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50 %", r"50\,\%"),
        ("a_b", r"a\_\allowbreak{}b"),
        ("é ≤ ２ 你 🙂", r"é \ensuremath{\leq} 2 \mbox{U+4F60} \mbox{U+1F642}"),
        ("\\input{x}\n#", r"\textbackslash{}input\{x\} \#"),
    ],
)
def test_no_text_is_a_command_and_no_character_unknown(text, latex):
    assert prose(text) == latex


def test_names_may_be_broken_where_words_of_them_meet():
    assert tex("lr=1e-3/x") == r"lr=\allowbreak{}1e-3/\allowbreak{}x"
