"""What has to hold before anything heavy is imported; every verb imports this module first."""

from dcgan_lightning import versions

versions.check()
