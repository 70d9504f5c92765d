from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_purged_at'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='sync_removals',
            field=models.BooleanField(db_default=True, default=True, help_text='whether syncs may take access from people of this tenant'),
        ),
    ]
