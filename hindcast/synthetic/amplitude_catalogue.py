"""What a generated Amplitude export is made of: places, devices, event types, and one line's template."""

import json
from collections.abc import Mapping

from hindcast.synthetic.amplitude_export import APP

PLACES = (
    ("Berlin", "Germany", "Land Berlin", "German"),
    ("Lisbon", "Portugal", "Lisbon", "Portuguese"),
    ("São Paulo", "Brazil", "São Paulo", "Portuguese"),
    ("Toronto", "Canada", "Ontario", "English"),
    ("Austin", "United States", "Texas", "English"),
    ("London", "United Kingdom", "England", "English"),
    ("Tokyo", "Japan", "Tokyo", "Japanese"),
    ("Pune", "India", "Maharashtra", "English"),
)
# device_type, os_name, os_version, platform, library
DEVICES = (
    ("Windows", "Chrome", "124", "Web", "amplitude-ts/2.6.1"),
    ("Windows", "Edge", "123", "Web", "amplitude-ts/2.6.1"),
    ("Linux", "Firefox", "125", "Web", "amplitude-ts/2.6.1"),
    ("Mac", "Safari", "17.4", "Web", "amplitude-ts/2.5.0"),
    ("iOS", "ios", "17.4.1", "iOS", "amplitude-swift/1.4.3"),
    ("Android", "android", "14", "Android", "amplitude-kotlin/1.16.8"),
    ("Apple iPhone", "ios", "16.7", "iOS", "amplitude-swift/1.3.0"),
    ("Android", "android", "13", "Android", "amplitude-kotlin/1.15.2"),
)
# As exported, as imported, weight of 64
TYPES = (
    ("[Amplitude] Page Viewed", "$pageview", 22),
    ("[Amplitude] Element Clicked", "$autocapture", 14),
    ("[Amplitude] Element Changed", "$autocapture", 4),
    ("search_performed", "search_performed", 8),
    ("product_viewed", "product_viewed", 10),
    ("order_placed", "order_placed", 3),
    ("video_played", "video_played", 3),
)
PAGES = ("/", "/pricing", "/search", "/product/42", "/cart", "/docs/start", "/café", "/blog/2024/launch")
SKIPPED_TYPES = ("session_start", "session_end")

# In the order of the places of LINE.
LINE_FIELDS = (
    "insert_id", "amplitude_id", "place", "client_time", "uploaded", "device", "device_id", "event_id", "properties",
    "time", "event_type", "groups", "ip", "uploaded", "received", "uploaded", "session", "user", "attributes", "uuid",
    "extra",
)  # fmt: skip
LINE = (
    '{"$insert_id":%s,"$insert_key":null,"$schema":13,"adid":null,"amplitude_attribution_ids":null,'
    '"amplitude_event_type":null,"amplitude_id":%d,"app":' + str(APP) + ',%s,"client_event_time":"%s",'
    '"client_upload_time":"%s","data":{"group_first_event":{},"group_ids":{}},"data_type":"event",%s,'
    '"device_brand":null,"device_carrier":null,"device_id":%s,"device_manufacturer":null,"dma":null,"event_id":%d,'
    '"event_properties":%s,"event_time":"%s","event_type":%s,"global_user_properties":null,"group_properties":{},'
    '"groups":%s,"idfa":null,"ip_address":"198.51.100.%d","is_attribution_event":null,"location_lat":null,'
    '"location_lng":null,"partner_id":null,"paying":null,"plan":{},"processed_time":"%s","sample_rate":null,'
    '"server_received_time":"%s","server_upload_time":"%s","session_id":%d,"source_id":null,"start_version":null,'
    '"user_creation_time":null,"user_id":%s,"user_properties":%s,"uuid":%s,"version_name":null%s}'
)


def place_fragments() -> list[str]:
    """The fields of a place, a text each."""
    names = ("city", "country", "region", "language")
    return [_fragment(dict(zip(names, place, strict=True))) for place in PLACES]


def device_fragments() -> list[str]:
    """The fields of a device, a text each."""
    names = ("device_type", "os_name", "os_version", "platform", "library")
    return [
        _fragment(dict(zip(names, device, strict=True)) | {"device_family": device[0], "device_model": device[0]})
        for device in DEVICES
    ]


def page_fragments() -> list[str]:
    """The event properties of a page."""
    return [
        _object({"[Amplitude] Page URL": f"https://shop.example{page}", "[Amplitude] Page Domain": "shop.example"}
                | {"[Amplitude] Page Path": page, "[Amplitude] Page Title": f"Shop {page}"})
        for page in PAGES
    ]  # fmt: skip


def attribute_fragments() -> list[str]:
    """The user properties there are, unset attribution among them."""
    plans, sources = ("free", "pro", "team", None), ("EMPTY", "newsletter", "google", "EMPTY")
    return [
        _object({"initial_referrer": "EMPTY", "initial_utm_source": source, "plan": plan, "utm_source": "EMPTY"})
        for plan in plans
        for source in sources
    ]


def _fragment(fields: Mapping[str, object]) -> str:
    return _object(fields)[1:-1]


def _object(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
