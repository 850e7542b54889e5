"""Networks as pytrees. Every module takes batched input: leading batch dimensions, features last."""
