import type { Activity } from '../../types.ts'
import { Ago, Card } from '../components/basics.tsx'
import { Cell, PagedFrame, Table, usePaged } from '../components/list.tsx'
import { useUi } from '../context.ts'

/** Who did what, newest first. */
export function ActivityPage() {
  const { t } = useUi()
  const list = usePaged<Activity>('activity', { limit: 50 })
  return (
    <>
      <h1>{t('activity')}</h1>
      <Card>
        <PagedFrame list={list} empty={t('activityNone')}>
          <Table label={t('activity')} columns={[t('activityWhat'), t('activityWho'), t('activityWhen')]}>
            {list.items.map(({ id, at, actor, summary }) => (
              <tr key={id}>
                <Cell of={t('activityWhat')} wide>
                  {summary}
                </Cell>
                <Cell of={t('activityWho')}>
                  {actor ? (actor.name ?? actor.id) : <span class='muted'>{t('activityNobody')}</span>}
                </Cell>
                <Cell of={t('activityWhen')}>
                  <Ago at={at} />
                </Cell>
              </tr>
            ))}
          </Table>
        </PagedFrame>
      </Card>
    </>
  )
}
