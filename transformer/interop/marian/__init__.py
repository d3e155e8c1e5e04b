"""Hugging Face's MarianMTModel, the format of the OPUS-MT models: settings, parameters and folder."""
