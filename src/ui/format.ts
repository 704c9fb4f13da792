/** Times, sizes and numbers as the reader writes them. */
export interface Format {
  /** Date and time, medium length. */
  time(iso: string): string
  /** "5 minutes ago", "in 2 hours". */
  ago(iso: string, now?: number): string
  number(value: number): string
  /** 0 to 1 as percent. */
  percent(share: number): string
  /** In binary steps, as platforms and operating systems count memory and disks. */
  bytes(bytes: number): string
  duration(seconds: number): string
}

const steps: Array<[Intl.RelativeTimeFormatUnit, number]> = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1]
]
const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function formatter(locale: string): Format {
  const times = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' })
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  const numbers = new Intl.NumberFormat(locale)
  const decimals = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 })
  const percents = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 })
  const unit = (value: number, name: string) =>
    new Intl.NumberFormat(locale, { style: 'unit', unit: name, unitDisplay: 'short' }).format(value)
  return {
    time: iso => times.format(new Date(iso)),
    ago(iso, now = Date.now()) {
      const seconds = Math.round((Date.parse(iso) - now) / 1000)
      const [name, size] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
      return relative.format(Math.trunc(seconds / size), name)
    },
    number: value => numbers.format(value),
    percent: share => percents.format(share),
    bytes(bytes) {
      const power = bytes < 1 ? 0 : Math.min(sizes.length - 1, Math.floor(Math.log2(bytes) / 10))
      return `${decimals.format(bytes / 1024 ** power)} ${sizes[power]}`
    },
    duration(seconds) {
      const whole = Math.max(0, Math.round(seconds))
      const parts: Array<[number, string]> = [
        [Math.floor(whole / 86_400), 'day'],
        [Math.floor(whole / 3600) % 24, 'hour'],
        [Math.floor(whole / 60) % 60, 'minute'],
        [whole % 60, 'second']
      ]
      const shown = parts.filter(([value]) => value > 0).slice(0, 2)
      return (shown.length > 0 ? shown : [[0, 'second'] as [number, string]])
        .map(([value, name]) => unit(value, name))
        .join(' ')
    }
  }
}
