"""The invented learning platform: its courses, devices, languages and the shape of each event."""

import json
from dataclasses import dataclass

LESSONS_A_COURSE = 24
LESSONS_A_MODULE = 6
SUBJECTS = {
    "foundations": "Foundations",
    "statistics": "Statistics",
    "python": "Python",
    "databases": "Databases",
    "economics": "Économie",
    "design": "Design & Typography",
    "japanese": "日本語",
    "biology": "Biology",
    "music": "Music theory 🎵",
    "security": "Security",
}
LEVELS = ("101", "201", "301", "lab")
LOCALES = ("en-GB", "en-US", "de-DE", "fr-FR", "ja-JP")
# browser, platform, kind of device, system, screen
DEVICES = (
    ("Chrome/124.0.0.0 Safari/537.36", "Windows NT 10.0; Win64; x64", "desktop", "Windows 11", "1920x1080"),
    ("Version/17.4 Safari/605.1.15", "Macintosh; Intel Mac OS X 10_15_7", "desktop", "macOS 14", "1728x1117"),
    ("Chrome/122.0.0.0 Safari/537.36", "X11; Linux x86_64", "desktop", "Linux", "2560x1440"),
    ("Edg/124.0.0.0", "Windows NT 10.0; Win64; x64", "desktop", "Windows 10", "1366x768"),
    ("Version/17.4 Mobile/15E148", "iPhone; CPU iPhone OS 17_4 like Mac OS X", "mobile", "iOS 17", "390x844"),
    ("Chrome/124.0.0.0 Mobile", "Linux; Android 14; Pixel 8", "mobile", "Android 14", "412x915"),
    ("Chrome/121.0.0.0 Mobile", "Linux; Android 13; SM-A546B", "mobile", "Android 13", "360x780"),
    ("Version/17.2 Safari/605.1.15", "iPad; CPU OS 17_2 like Mac OS X", "tablet", "iPadOS 17", "820x1180"),
)


@dataclass(frozen=True)
class Shape:
    """How one kind of event is written. Weights are of 1024; columns fill the template's places in order."""

    event_type: str
    weight: int
    template: str
    columns: tuple[str, ...]


def _shape(event_type: str, weight: int, about: str, details: str, columns: str) -> Shape:
    """Write a shape; `about` is the column of what the event is about, `details` the payload's own part."""
    template = (
        '{%s"event_type":"' + event_type + '","user_id":"learner-%06d",%s"session_id":"sess-%06d-%d",%s'
        '"request_id":"%016x"},' + details + '},"occurred_at":"%sZ"}'
    )
    named = ("own_id", "learner", about, "learner", "day", "device", "request", *columns.split(), "time")
    return Shape(event_type, weight, template, named)


SHAPES = (
    _shape("lesson_started", 220, "lesson", '"progress":%s', "progress"),
    _shape("lesson_completed", 170, "lesson", '"progress":1,"time_spent_seconds":%d', "seconds"),
    _shape(
        "video_progress",
        246,
        "lesson",
        '"progress":%s,"position_seconds":%d,"video_id":"video-%d","playback_rate":1',
        "progress seconds video",
    ),
    _shape("page_view", 160, "course", '"page":%s,"time_spent_seconds":%d', "page seconds"),
    _shape(
        "quiz_submitted",
        82,
        "lesson",
        '"score":%s,"questions":%d,"attempt":1,"time_spent_seconds":%d',
        "score questions seconds",
    ),
    _shape("course_enrolled", 31, "course", '"page":%s,"source":"catalogue"', "page"),
    _shape("course_started", 26, "course", '"page":%s,"progress":0', "page"),
    _shape("course_completed", 17, "course", '"score":%s,"page":%s,"progress":1', "score page"),
    Shape(
        "page_view",
        72,
        '{%s"event_type":"page_view","user_id":null,"anonymous_id":"visitor-%06d",%s%s'
        '"request_id":"%016x"},"page":%s,"time_spent_seconds":%d},"occurred_at":"%sZ"}',
        ("own_id", "learner", "course", "device", "request", "page", "seconds", "time"),
    ),
)
EVENT_TYPES = tuple(dict.fromkeys(shape.event_type for shape in SHAPES))


def course_fragments() -> list[str]:
    """Return the members that name a course, one text a course."""
    return [f'"course_id":"{course}",' for course, _title in courses()]


def lesson_fragments() -> list[str]:
    """Return the members that name a lesson, all lessons of the first course first."""
    return [
        f'"course_id":"{course}","lesson_id":"{course}-lesson-{lesson + 1:02}",'
        f'"module_id":"{course}-module-{lesson // LESSONS_A_MODULE + 1}",'
        for course, _title in courses()
        for lesson in range(LESSONS_A_COURSE)
    ]


def page_fragments() -> list[str]:
    """Return the page a course is shown on."""
    return [
        json.dumps({"title": title, "path": f"/learn/{course}"}, ensure_ascii=False, separators=(",", ":"))
        for course, title in courses()
    ]


def device_fragments() -> list[str]:
    """Return user agent and payload up to the request id; devices vary faster than locales."""
    return [
        f'"user_agent":"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) {browser}",'
        f'"payload":{{"device":{{"type":"{device}","os":"{system}","screen":"{screen}"}},'
        f'"context":{{"locale":"{locale}","app":{{"id":"web","version":"4.18.2"}},'
        for locale in LOCALES
        for browser, platform, device, system, screen in DEVICES
    ]


def courses() -> list[tuple[str, str]]:
    """Return the id and title of each of the 40 courses."""
    return [(f"course-{key}-{level}", f"{title} {level}") for key, title in SUBJECTS.items() for level in LEVELS]
