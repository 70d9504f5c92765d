import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('identity_sync', '0004_webhooks'),
    ]

    operations = [
        migrations.AddField(
            model_name='syncrun',
            name='error_fix',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.CreateModel(
            name='SyncChangeValues',
            fields=[
                ('change', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='stored_values', serialize=False, to='identity_sync.syncchange')),
                ('values', models.JSONField()),
            ],
            options={
                'verbose_name_plural': 'sync change values',
                'db_table': 'sw_sync_change_values',
            },
        ),
    ]
