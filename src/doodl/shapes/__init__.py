"""The embedded world: a small diffusion model, CLIPs and a judge of drawn shapes."""
