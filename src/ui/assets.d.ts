/** The build gives style sheets as text, minified. */
declare module '*.css' {
  const text: string
  export default text
}
