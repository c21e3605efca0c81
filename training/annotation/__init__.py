"""Labelling under the guide: which rows to label next, sheets to read, readings back into data, agreement of two readers."""
