"""Exchange of models with other libraries: Hugging Face Marian, CTranslate2 and safetensors."""
