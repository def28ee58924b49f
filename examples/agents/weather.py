"""The tool of weather.yaml: a forecast that is the same each time, from a table of climates."""

import datetime
import zlib
from dataclasses import dataclass
from enum import Enum

from toolbox.context import ToolContext

WARM, COLD = 24, 2
SKIES = ("sunny", "cloudy", "windy", "rainy")
CITIES = {"bonn": 0, "lisbon": 7, "oslo": -6, "paris": 1, "rome": 5, "vienna": 0}


class Unit(Enum):
    """Of temperatures."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@dataclass
class Forecast:
    """What the model is given."""

    city: str
    day: datetime.date
    sky: str
    temperature: float
    unit: Unit


def get_weather(
    city: str, context: ToolContext, day: datetime.date | None = None, unit: Unit = Unit.CELSIUS
) -> Forecast:
    """Tell the weather of a European city on a day.

    Args:
        city: The city's English name.
        day: The day; today if it is left out.
        unit: Of the temperature.
    """
    key = city.strip().lower()
    if key not in CITIES:
        raise LookupError(f"no weather for {city}; there is: {', '.join(sorted(CITIES))}")
    context.progress(f"looking {city.strip()} up", 0.5)
    when = day or datetime.date.today()
    summer = 1 - abs(when.timetuple().tm_yday - 197) / 197
    degrees = round(COLD + (WARM - COLD) * summer + CITIES[key], 1)
    sky = SKIES[zlib.crc32(f"{key}{when}".encode()) % len(SKIES)]
    if unit is Unit.FAHRENHEIT:
        degrees = round(degrees * 9 / 5 + 32, 1)
    return Forecast(city.strip(), when, sky, degrees, unit)
