"""Training: the embedded backbone, fine-tuning with chosen losses, and the idealised experiment."""
