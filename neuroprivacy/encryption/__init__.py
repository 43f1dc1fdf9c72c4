"""Class encryption training (PrivateSNN): retraining the converted network on synthetic images. No key is involved."""

from neuroprivacy.encryption.class_encryption import EncryptionSettings, encrypt

__all__ = ["EncryptionSettings", "encrypt"]
