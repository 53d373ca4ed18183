"""One file a stage word: Prefect tasks that read settings, call the core and call adapters. No science here."""
