"""The odd records of a learning platform's history, with their shares per thousand records."""

from hindcast.synthetic import broken_lines as broken
from hindcast.synthetic import history_rejects as rejects
from hindcast.synthetic import history_repeats as repeats
from hindcast.synthetic import history_spellings as spellings
from hindcast.synthetic.places import Kind

# In the order in which small exports get them.
KINDS = (
    Kind(repeats.repeat, 2.0, "before", "repeat_adjacent"),
    Kind(repeats.respelled, 1.5, "before", "respelled_adjacent"),
    Kind(repeats.repeat, 2.0, "far", "repeat_far"),
    Kind(repeats.respelled, 2.0, "far", "respelled_far"),
    Kind(repeats.respelled, 1.0, "own_id", "respelled_own_id"),
    Kind(repeats.conflict_content, 0.6, "own_id"),
    Kind(repeats.conflict_time, 0.4, "own_id"),
    Kind(repeats.conflict_content, 0.3, "far_own_id", "conflict_far"),
    Kind(broken.malformed, 0.9, reject=True),
    Kind(broken.invalid_utf8, 0.4, reject=True),
    Kind(rejects.future_time, 0.3, reject=True),
    Kind(rejects.impossible_time, 0.4, reject=True),
    Kind(rejects.missing_event_type, 0.4, reject=True),
    Kind(rejects.missing_time, 0.4, reject=True),
    Kind(rejects.ancient_time, 0.3, reject=True),
    Kind(rejects.too_long, 0.3, reject=True),
    Kind(spellings.naive_time, 4.0),
    Kind(spellings.nul, 0.5),
    Kind(spellings.lone_surrogate, 0.5),
    Kind(spellings.late, 10.0),
    Kind(spellings.camel_case, 8.0),
    Kind(spellings.other_names, 6.0),
    Kind(spellings.epoch_time, 3.0),
    Kind(spellings.zoned_time, 6.0),
    Kind(spellings.unknown_properties, 2.0),
    Kind(spellings.blank_lines, 1.0),
    Kind(spellings.odd_payload, 1.5),
    Kind(spellings.personal, 1.5),
    Kind(spellings.times_differ, 0.8),
    Kind(spellings.nul, 0.2, name="nul_repeated", again=True),
    Kind(spellings.carriage_return, 0.5),
    Kind(spellings.integer_ids, 1.0),
    Kind(spellings.empty_ids, 1.0),
    Kind(spellings.custom_type, 1.0),
    Kind(spellings.escaped_text, 0.5),
    Kind(spellings.times_agree, 0.5),
    Kind(spellings.duplicate_key, 0.3),
    Kind(spellings.longest_ids, 0.1),
    Kind(broken.not_an_object, 0.3, reject=True),
    Kind(rejects.wrong_type, 0.3, reject=True),
    Kind(broken.too_deep, 0.2, reject=True),
    Kind(broken.huge_number, 0.2, reject=True),
)
