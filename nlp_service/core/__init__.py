"""Pure definitions and functions: taxonomy, schema, text, segments, decoding. No torch, no web framework, no I/O but the taxonomy file."""
