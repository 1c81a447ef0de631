"""Objects: large values beside the database, in S3 or a folder, under one contract.

keys       what a key and an object's URL may look like
content    bytes to be stored, from memory and files, without joining them
store      the contract of a store, and which one the settings name
local, s3  its two implementations
teams      a reader that sees one team's objects and no other's
multipart  one object an event: several values in one body, each at a range
ledger     which objects belong to committed events, and the sweep of those that do not
"""
