from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('identity_sync', '0009_applied_plan'),
    ]

    operations = [
        migrations.RenameField(
            model_name='syncchange',
            old_name='reason',
            new_name='detail',
        ),
        migrations.AlterField(
            model_name='syncchange',
            name='detail',
            field=models.CharField(blank=True, help_text='what belongs to the reason; of old rows all of it', max_length=255),
        ),
        migrations.AddField(
            model_name='syncchange',
            name='reason_code',
            field=models.CharField(blank=True, default='', max_length=32),
            preserve_default=False,
        ),
        migrations.RenameField(
            model_name='syncplannedchange',
            old_name='reason',
            new_name='detail',
        ),
        migrations.AlterField(
            model_name='syncplannedchange',
            name='detail',
            field=models.CharField(blank=True, help_text='what belongs to the reason; of old rows all of it', max_length=255),
        ),
        migrations.AddField(
            model_name='syncplannedchange',
            name='reason_code',
            field=models.CharField(blank=True, default='', max_length=32),
            preserve_default=False,
        ),
        migrations.RenameField(
            model_name='syncskip',
            old_name='reason',
            new_name='detail',
        ),
        migrations.AlterField(
            model_name='syncskip',
            name='detail',
            field=models.CharField(blank=True, help_text='what belongs to the reason; of old rows all of it', max_length=255),
        ),
        migrations.AddField(
            model_name='syncskip',
            name='reason_code',
            field=models.CharField(blank=True, default='', max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='syncrun',
            name='allowance',
            field=models.PositiveIntegerField(blank=True, help_text='losses of access left out, which `--allow-removals` can permit', null=True),
        ),
        migrations.AddField(
            model_name='syncrun',
            name='fix_command',
            field=models.TextField(blank=True, default='', help_text='the command that fixes it'),
        ),
    ]
