"""Acceptance of LLM analytics: is what was captured stored, readable and isolated? Phase by phase, or not started.

outcome     what a check, a phase and a run came to, and the report of them
run         the order: a phase starts only when all earlier ones passed
request     building capture requests
payloads    values of every size and content type, the same for the same seed
events      reading events back: from the project's own database, or from a PostHog-like query API
guard       what keeps production mode from writing: at the client, before a byte is sent
references  what must be true of every `s3://...?range=a-b` of an event
local       the stage of local mode: an endpoint, a store, fresh teams, and a cleanup that proves itself
production  the stage of production mode: read-only, one team, paced
outages     connections that are refused or cut, for the edge cases
local_checks, local_edges, production_checks   the checks
"""
