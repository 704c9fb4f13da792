import { mergeBench } from './merge.ts'
import { print } from './report.ts'
print(await mergeBench((process.argv[2] ?? 'postgresql') as never, { quick: process.argv[3] === 'quick' }))
