"""The checker of annotations in tests: beartype, with whole numbers allowed where floats are (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
