"""Cohort to one packed uint8 store. No labels are decided and no rows are dropped here."""
