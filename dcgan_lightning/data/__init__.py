"""Data sets: one way from a source of images to batches of uint8."""

from dcgan_lightning.data.celeba import CelebADataModule
from dcgan_lightning.data.cifar10 import CIFAR10DataModule
from dcgan_lightning.data.image_folder import ImageFolderDataModule
from dcgan_lightning.data.mnist import MNISTDataModule
from dcgan_lightning.data.module import ImageDataModule

__all__ = [
    "CIFAR10DataModule",
    "CelebADataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "MNISTDataModule",
]
