"""Hugging Face's MarianMTModel, the form of the OPUS-MT models: settings, parameters, and the folder of both."""
