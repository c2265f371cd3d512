// @ts-check
// Days and moments, as people say them.

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** The midnight before, where the person is. @param {Date} date @param {number} [daysBack] */
const midnight = (date, daysBack = 0) => new Date(date.getFullYear(), date.getMonth(), date.getDate() - daysBack);

/** The group of a list that has this moment. @param {Date} then @param {Date} now */
export function groupOf(then, now) {
  if (then >= midnight(now)) return "Today";
  if (then >= midnight(now, 1)) return "Yesterday";
  if (then >= midnight(now, 7)) return "Previous 7 days";
  return then.toLocaleDateString("en", { month: "long", year: "numeric" });
}

/** How long ago that is, or, after a week, which day. @param {Date} then @param {Date} now */
export function ago(then, now) {
  const past = now.getTime() - then.getTime();
  if (past < MINUTE) return "just now"; // clocks may differ
  if (past < HOUR) return relative.format(-Math.floor(past / MINUTE), "minute");
  if (past < DAY) return relative.format(-Math.floor(past / HOUR), "hour");
  if (past < 7 * DAY) return relative.format(-Math.round((midnight(now).getTime() - midnight(then).getTime()) / DAY), "day");
  return then.toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
}
