"""What each verdict means and what to try, in words for who meets it for the first time."""

GUIDE = 'Brownlee, "How to Identify and Diagnose GAN Failure Modes" (machinelearningmastery.com, 2019)'

SOURCES = {
    "warming_up": f"{GUIDE}: even a stable GAN's first iterations are erratic",
    "stable": f'{GUIDE}, section "How to Identify a Stable GAN"; losses near log 2 = 0.69 are where D cannot tell '
    '(Goodfellow et al., "Generative adversarial nets", 2014, theorem 1)',
    "mode_collapse": f'{GUIDE}, section "How to Identify a Mode Collapse"; repeated images as a test: Arora and Zhang, '
    '"Do GANs actually learn the distribution?", 2017',
    "convergence_failure": f'{GUIDE}, section "How to Identify Convergence Failure"; why G then learns nothing: '
    'Arjovsky and Bottou, "Towards principled methods for training GANs", 2017, theorem 2.4',
    "generator_wins": 'Goodfellow, "NIPS 2016 tutorial: Generative adversarial networks", on balancing G and D',
    "diverged": "NaN and infinity are no numbers to go on from; with float16 see torch.amp's documentation on overflow",
    "stuck": 'Goodfellow et al., "Generative adversarial nets", 2014, proposition 1: D at 1/2 everywhere is also what '
    "it says where it has learnt nothing",
}

ADVICE = {
    "warming_up": (
        "Nothing is wrong so far, and nothing is proven yet.",
        "Train longer: trainer.max_steps=. If this verdict stays for thousands of iterations, look at the grids: a "
        "higher model.lr or more feature maps (model.generator.width=) may be what is missing.",
    ),
    "stable": (
        "Go on, and choose the checkpoint by FID (checkpoints/best.ckpt, where FIDs are measured), not by the losses: "
        "they say who is ahead, not how good the images are.",
        "Losses near 0.69 and accuracies around 50% are no fault: D cannot tell your images from real ones.",
    ),
    "mode_collapse": (
        "G makes the same few images over and over, though the losses may look healthy: look at the newest grid.",
        "Give G more latents: model.generator.latent_dim=100.",
        "Slow G down, or let D keep up: a lower model.lr, or model.g_every=5 so that D is updated five times as often.",
        "Take an earlier checkpoint, from before it began, and go on with a lower learning rate: "
        "ckpt_path=<run folder> model.lr=1e-4.",
        "If none of that helps, try another loss, such as Wasserstein's: loss= takes a class of your own.",
    ),
    "convergence_failure": (
        "D tells real from generated images without error, so that G gets no gradient to learn from. It rarely comes "
        "back by itself.",
        "Adam's defaults are too fast for a GAN; a rate of 2e-4 and a first beta of 0.5 are usual: model.lr=2e-4 "
        "'model.optimizer_d.betas=[0.5,0.999]' 'model.optimizer_g.betas=[0.5,0.999]'. Where they are in use already, "
        "halve the rate, or D's alone: model.optimizer_d.lr=1e-4.",
        "Weaken D: model.d_every=5 updates it in every fifth iteration, model.discriminator.width= makes it narrower, "
        "and a loss with smoothed labels (0.9 for real images) keeps it from being certain.",
        "If D is trained on real and generated images stacked into one batch, give each a batch of its own: "
        "model.d_rule._target_=dcgan_lightning.schedule.SeparateSteps.",
        "Another loss, such as Wasserstein's or the hinge, still tells G something where D makes no mistake: loss= "
        "takes a class of your own.",
    ),
    "generator_wins": (
        "D takes generated images for real, although they are not like them: it has nothing left to teach G.",
        "Strengthen D: model.g_every=5 gives it five updates for each of G's; a higher model.optimizer_d.lr or a wider "
        "D (model.discriminator.width=) helps too.",
        "Lower G's learning rate: model.optimizer_g.lr=1e-4.",
    ),
    "diverged": (
        "Losses or weights are not finite (NaN or infinity): the run cannot be mended from here.",
        "Go on from the last checkpoint, which is finite, with a lower model.lr: ckpt_path=<run folder> model.lr=1e-4.",
        "model.clip_grad_norm=1 bounds each step. With trainer.precision=16-mixed try bf16-mixed or 32-true.",
    ),
    "stuck": (
        "D says 1/2 to everything, and the images do not change: neither network learns.",
        "Check that real images and labels are what they should be: real.png, and the loss if it is your own.",
        "Raise the learning rate (model.lr=2e-4), give D more capacity (model.discriminator.width=), and look at "
        "grad_norm_d and grad_norm_g in samples.csv: near zero, nothing reaches the weights.",
    ),
}
