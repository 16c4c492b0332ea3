"""The report of a benchmark: one page that needs no network, figures, tables, and words for a paper."""
