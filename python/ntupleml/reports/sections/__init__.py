"""The sections of the report, a module each: from the events and the records to tables, pictures and verdicts."""
