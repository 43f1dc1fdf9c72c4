"""Class encryption training (PrivateSNN): retraining the converted network on synthetic images. No key is involved."""

from neuroprivacy.encryption.class_encryption import Encrypted, EncryptionSettings, WeightChange, encrypt

__all__ = ["Encrypted", "EncryptionSettings", "WeightChange", "encrypt"]
