"""One reader per format. Each returns a `Log` and judges nothing; `guard` refuses hostile files."""
