"""What can be downloaded, from where, and the checksum that decides whether it is the real thing.

A mirror is never trusted: a file counts only if it has the checksum here. That is also why one mirror may be
plain http. Checksums are MD5 because that is what the authors publish.

Sources: MNIST, the MD5 in torchvision's `datasets/mnist.py`; Fashion-MNIST, the README of
https://github.com/zalandoresearch/fashion-mnist (both compared with files at hand); CIFAR, the table
"Download" of https://www.cs.toronto.edu/~kriz/cifar.html (not compared with a file).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neuroprivacy.data.cifar import CIFAR10_TEST, CIFAR10_TRAIN, CIFAR100_TEST, CIFAR100_TRAIN
from neuroprivacy.data.mnist import IDX_FILES

_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")

# In the order of IDX_FILES: training images, training labels, test images, test labels.
_MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
_FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a data set that can be downloaded.

    Attributes:
        name: the file's name, appended to a mirror's address.
        md5: of the file, hexadecimal.
        mirrors: addresses that end in a slash, tried in this order.
        members: for a tar archive, the files to take out of it; empty for a file that is used as it is.
        member_folder: the folder inside the archive that holds the members.
    """

    name: str
    md5: str
    mirrors: tuple[str, ...]
    members: tuple[str, ...] = ()
    member_folder: str = ""


def _idx_files(md5: tuple[str, ...], mirrors: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(name=names[0], md5=checksum, mirrors=mirrors) for names, checksum in zip(IDX_FILES, md5, strict=True)
    )


#: What to download for each data set.
REMOTES: Mapping[str, tuple[RemoteFile, ...]] = MappingProxyType(
    {
        "mnist": _idx_files(_MNIST_MD5, _MNIST_MIRRORS),
        "fashion-mnist": _idx_files(_FASHION_MD5, _FASHION_MIRRORS),
        "cifar-10": (
            RemoteFile(
                name="cifar-10-binary.tar.gz",
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                mirrors=_CIFAR_MIRRORS,
                members=(*CIFAR10_TRAIN, CIFAR10_TEST),
                member_folder="cifar-10-batches-bin",
            ),
        ),
        "cifar-100": (
            RemoteFile(
                name="cifar-100-binary.tar.gz",
                md5="03b5dce01913d631647c71ecec9e9cb8",
                mirrors=_CIFAR_MIRRORS,
                members=(CIFAR100_TRAIN, CIFAR100_TEST),
                member_folder="cifar-100-binary",
            ),
        ),
    }
)
