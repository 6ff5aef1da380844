/**
 * The trace that a request belongs to, by its traceparent field (W3C Trace Context, section 3.2).
 *
 * Thread: a worker; pure functions.
 */

const FORM = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-|$)/;

/** Its 32 hexadecimal digits; '' where the field is not of that form. */
export const traceIdOf = (traceparent: string): string => FORM.exec(traceparent)?.[1] ?? '';
