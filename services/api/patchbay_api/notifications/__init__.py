"""Telling people: what is so now (`events`), what of it is news (`rules`), the `outbox`, and how it goes (`senders`).

Nothing waits in a message: each minute a rule's look compares the database with what the rule has noticed before, and
writes what is news into the outbox in the same transaction. So nothing is lost and nothing is told twice, whatever
process dies when; a delivery itself is made at least once.
"""
