"""Reads customer feedback in Spanish and English: emotions, touchpoints, evidence and calibrated probabilities."""
