"""A source's address to a folder with one version of it: git, web, S3, Kaggle. No pins, no layouts, no images here."""
