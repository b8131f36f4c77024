const WEEKDAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAY_MS = 86_400_000;

/** A conversion: `%`, one of glibc's flags, an E or O that the C locale ignores, and the letter. */
const CONVERSION = /%([-_0^]?)[EO]?([a-zA-Z%])/g;

/** C's strftime for local time in the C locale. An unknown conversion stays as it is written, as in glibc. */
export function strftime(format: string, date: Date): string {
  return format.replace(CONVERSION, (written: string, flag: string, letter: string) => {
    const text = convert(letter, date, flag);
    if (text === undefined) return written;
    return flag === '^' ? text.toUpperCase() : text;
  });
}

function convert(letter: string, date: Date, flag: string): string | undefined {
  const year = date.getFullYear();
  const hour12 = date.getHours() % 12 || 12;
  switch (letter) {
    case 'a':
      return WEEKDAYS[date.getDay()]!.slice(0, 3);
    case 'A':
      return WEEKDAYS[date.getDay()]!;
    case 'b':
    case 'h':
      return MONTHS[date.getMonth()]!.slice(0, 3);
    case 'B':
      return MONTHS[date.getMonth()]!;
    case 'c':
      return strftime('%a %b %e %H:%M:%S %Y', date);
    case 'C':
      return pad(Math.floor(year / 100), 2, '0', flag);
    case 'd':
      return pad(date.getDate(), 2, '0', flag);
    case 'D':
    case 'x':
      return strftime('%m/%d/%y', date);
    case 'e':
      return pad(date.getDate(), 2, ' ', flag);
    case 'F':
      return strftime('%Y-%m-%d', date);
    case 'g':
      return pad(isoWeek(date).year % 100, 2, '0', flag);
    case 'G':
      return String(isoWeek(date).year);
    case 'H':
      return pad(date.getHours(), 2, '0', flag);
    case 'I':
      return pad(hour12, 2, '0', flag);
    case 'j':
      return pad(dayOfYear(date) + 1, 3, '0', flag);
    case 'k':
      return pad(date.getHours(), 2, ' ', flag);
    case 'l':
      return pad(hour12, 2, ' ', flag);
    case 'm':
      return pad(date.getMonth() + 1, 2, '0', flag);
    case 'M':
      return pad(date.getMinutes(), 2, '0', flag);
    case 'n':
      return '\n';
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'P':
      return date.getHours() < 12 ? 'am' : 'pm';
    case 'r':
      return strftime('%I:%M:%S %p', date);
    case 'R':
      return strftime('%H:%M', date);
    case 's':
      return String(Math.floor(date.getTime() / 1000));
    case 'S':
      return pad(date.getSeconds(), 2, '0', flag);
    case 't':
      return '\t';
    case 'T':
    case 'X':
      return strftime('%H:%M:%S', date);
    case 'u':
      return String(date.getDay() || 7);
    case 'U':
      return pad(weekOfYear(date, 0), 2, '0', flag);
    case 'V':
      return pad(isoWeek(date).week, 2, '0', flag);
    case 'w':
      return String(date.getDay());
    case 'W':
      return pad(weekOfYear(date, 1), 2, '0', flag);
    case 'y':
      return pad(year % 100, 2, '0', flag);
    case 'Y':
      return String(year);
    case 'z':
      return zoneOffset(date);
    case 'Z':
      return zoneName(date);
    case '%':
      return '%';
    default:
      return undefined;
  }
}

function pad(value: number, width: number, fill: string, flag: string): string {
  if (flag === '-') return String(value);
  if (flag === '_') fill = ' ';
  if (flag === '0') fill = '0';
  return String(value).padStart(width, fill);
}

/** From 0. Counted in UTC days, because a local day may have 23 or 25 hours. */
function dayOfYear(date: Date): number {
  const year = date.getFullYear();
  return (Date.UTC(year, date.getMonth(), date.getDate()) - Date.UTC(year, 0, 1)) / DAY_MS;
}

/** The week of the year that `date` is in, the first one beginning with the first `firstWeekday`. */
function weekOfYear(date: Date, firstWeekday: number): number {
  return Math.floor((dayOfYear(date) + 7 - ((date.getDay() - firstWeekday + 7) % 7)) / 7);
}

/** ISO 8601: a week belongs to the year that its Thursday is in. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7));
  return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 };
}

function zoneOffset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const amount = Math.abs(minutes);
  const hours = String(Math.floor(amount / 60)).padStart(2, '0');
  return `${minutes < 0 ? '-' : '+'}${hours}${String(amount % 60).padStart(2, '0')}`;
}

/** The zone's short name as Node knows it: `UTC` or `EST`, but `GMT+8` where C says `CST`. */
function zoneName(date: Date): string {
  const parts = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(date);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
}
