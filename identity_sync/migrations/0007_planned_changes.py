import django.db.models.deletion
from django.db import migrations, models

import scaiwave.ids


class Migration(migrations.Migration):

    dependencies = [
        ('identity_sync', '0006_run_phases'),
    ]

    operations = [
        migrations.CreateModel(
            name='SyncPlannedChange',
            fields=[
                ('id', models.UUIDField(default=scaiwave.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('tenant_slug', models.TextField(blank=True)),
                ('kind', models.CharField(max_length=16)),
                ('action', models.CharField(max_length=16)),
                ('is_removal', models.BooleanField(help_text='a loss of sign-in, of a role, or of a group membership', verbose_name='loses access')),
                ('subject_id', models.UUIDField(db_index=True)),
                ('subject_scaikey_id', models.CharField(blank=True, max_length=420, verbose_name='ScaiKey ID')),
                ('person_scaikey_id', models.CharField(blank=True, db_index=True, max_length=420)),
                ('subject_name', models.CharField(blank=True, max_length=2100)),
                ('values', models.JSONField(blank=True, default=dict)),
                ('reason', models.CharField(max_length=255)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='planned_changes', to='identity_sync.syncrun')),
                ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'verbose_name': 'planned change',
                'db_table': 'sw_sync_planned_changes',
            },
        ),
    ]
